-- What the containers of a failed attempt wrote last: JSON, one row for each attempt.
CREATE TABLE log_tail (
    run INTEGER NOT NULL REFERENCES run (seq),
    attempt INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, attempt)
) STRICT, WITHOUT ROWID;
