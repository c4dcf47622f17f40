"""The tables of a journal, in the dialect that SQLite and PostgreSQL share but for the type of a blob.

No row for a contact: a chunk's contacts are one immutable blob, its statuses a word and the exceptions. The id of
a chunk is its send and its number in one integer, so that no second index is needed.

Every change of a chunk's state is entered into `chunk_event` by a trigger: nobody can forget it, and it costs no
statement of its own. Between two statements the writing thread has to wait for Python's lock each time, which is what
a journal mostly costs (measured: 20 microseconds a statement in a busy program, 3 in an idle one).
"""

from typing import Final

APPLICATION_ID: Final = 0x534D5350
"""``SMSP``: marks the file as a journal in its header."""
VERSION: Final = 1
SEQ_BITS: Final = 32

TABLES: Final = (
    """CREATE TABLE send (
        id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, name TEXT NOT NULL, sender_id TEXT NOT NULL,
        message TEXT NOT NULL, base_url TEXT NOT NULL, settings TEXT NOT NULL, created_at REAL NOT NULL,
        state TEXT NOT NULL, note TEXT NOT NULL DEFAULT '', total INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE phrase (id INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE)""",
    """CREATE TABLE chunk (
        id INTEGER PRIMARY KEY, state TEXT NOT NULL, token INTEGER NOT NULL DEFAULT 0, contacts INTEGER NOT NULL,
        first_row INTEGER NOT NULL, text_id INTEGER NOT NULL, claimed_at REAL, status TEXT NOT NULL, common TEXT,
        sent INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, detail TEXT NOT NULL DEFAULT '',
        others BLOB, details TEXT, changed_at REAL, note TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE chunk_contacts (id INTEGER PRIMARY KEY, row_runs BLOB, numbers BLOB NOT NULL)""",
    """CREATE TABLE chunk_event (
        id INTEGER PRIMARY KEY, chunk_id INTEGER NOT NULL, at REAL NOT NULL, state TEXT NOT NULL,
        note TEXT NOT NULL DEFAULT '')""",
    """CREATE TRIGGER chunk_changed AFTER UPDATE OF state ON chunk BEGIN
        INSERT INTO chunk_event (chunk_id, at, state, note) VALUES (new.id, new.changed_at, new.state, new.note);
        END""",
    """CREATE TABLE rejected (
        send_id INTEGER NOT NULL, row INTEGER NOT NULL, status TEXT NOT NULL, shown TEXT NOT NULL,
        detail_id INTEGER NOT NULL, PRIMARY KEY (send_id, row)) WITHOUT ROWID""",
    """CREATE TABLE line_run (
        send_id INTEGER NOT NULL, row INTEGER NOT NULL, line INTEGER, PRIMARY KEY (send_id, row)) WITHOUT ROWID""",
    """CREATE TABLE holder (id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL, since REAL NOT NULL)""",
)


def chunk_id(send_id: int, seq: int) -> int:
    """The id of a chunk."""
    return (send_id << SEQ_BITS) | seq


def seq_of(chunk: int) -> int:
    """The number of a chunk in its send."""
    return chunk & ((1 << SEQ_BITS) - 1)
