-- Instants are milliseconds since 1970-01-01 UTC, JSON is text, flags are 0 or 1.
-- What listings show stands in columns; what only the engine reads stands in JSON.

CREATE TABLE meta (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT;

-- One row: the period of leadership. Every commit must name the term that stands here.
CREATE TABLE lease (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    term INTEGER NOT NULL,
    holder TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT;

INSERT INTO lease (id, term, holder, since) VALUES (1, 0, '', 0);

-- Up to where each schedule has been decided.
CREATE TABLE mark (
    job TEXT PRIMARY KEY NOT NULL,
    schedule TEXT NOT NULL,
    mark INTEGER NOT NULL,
    anchor INTEGER NOT NULL,
    term INTEGER NOT NULL
) STRICT;

-- Each distinct definition once; the hash is the SHA-256 of the body.
CREATE TABLE definition (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;

-- `seq` rises with every recorded run: it is the order of listings and the key of the tables below.
CREATE TABLE run (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    instance TEXT NOT NULL,
    job TEXT NOT NULL,
    trigger TEXT NOT NULL,
    scheduled_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    deadline INTEGER,
    cancelled TEXT,
    status TEXT NOT NULL,
    state TEXT NOT NULL,
    definition INTEGER NOT NULL REFERENCES definition (id),
    retries_used TEXT NOT NULL,
    history_len INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT,
    cause TEXT,
    exit_code INTEGER,
    next_action_at INTEGER,
    term INTEGER NOT NULL
) STRICT;

-- One run for each instant of a schedule, whatever its id says; people may begin several for one instant.
CREATE UNIQUE INDEX run_of_firing ON run (job, scheduled_at) WHERE trigger IN ('schedule', 'catchup');

-- Listings: each index ends in `seq`, the row's own key, so that newest-first needs no sorting.
CREATE INDEX run_of_job ON run (job);
CREATE INDEX run_in_status ON run (status);
CREATE INDEX run_of_job_in_status ON run (job, status);
CREATE INDEX run_unfinished ON run (finished_at) WHERE finished_at IS NULL;

-- The frozen request is written once; only the history of its sends moves.
CREATE TABLE launch (
    run INTEGER NOT NULL REFERENCES run (seq),
    generation INTEGER NOT NULL,
    client_token TEXT NOT NULL UNIQUE,
    started_by TEXT NOT NULL,
    request TEXT NOT NULL,
    first_sent_at INTEGER NOT NULL,
    unresolved INTEGER NOT NULL CHECK (unresolved IN (0, 1)),
    PRIMARY KEY (run, generation)
) STRICT;

CREATE TABLE attempt (
    run INTEGER NOT NULL REFERENCES run (seq),
    attempt INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, attempt)
) STRICT;

-- Append only.
CREATE TABLE event (
    run INTEGER NOT NULL REFERENCES run (seq),
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
