-- Who is told what of a run, and how its delivery stands.

-- `facts` is JSON, and NULL once the notice is delivered; `next_at` is NULL once it is no longer owed. `since` is when its
-- delivery began: `owed_at`, or when a dead letter was revived.
CREATE TABLE notice (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    run INTEGER NOT NULL REFERENCES run (seq),
    job TEXT NOT NULL,
    channel TEXT NOT NULL,
    about TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('owed', 'delivered', 'dead')),
    owed_at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    next_at INTEGER,
    moved_at INTEGER,
    tries INTEGER NOT NULL,
    last_error TEXT,
    facts TEXT
) STRICT;

CREATE INDEX notice_of_run ON notice (run);
CREATE INDEX notice_of_job ON notice (job);
-- What is to be done, by channel: one that fails holds up no other.
CREATE INDEX notice_owed ON notice (channel, next_at) WHERE state = 'owed';
CREATE INDEX notice_in_state ON notice (state);

-- What decides which notices a job owes next.
ALTER TABLE mark ADD COLUMN ended_badly INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mark ADD COLUMN left_out TEXT;
UPDATE mark SET ended_badly = 1 WHERE failed_in_a_row > 0;
