-- What people ask for by hand, pauses, and who did what and when.

-- Who asked for a run, and what is different about it: JSON; NULL for what a schedule named.
ALTER TABLE run ADD COLUMN request TEXT;

-- What became of an instant: the runs that were asked for it beside the one of its schedule.
CREATE INDEX run_asked_for ON run (job, scheduled_at) WHERE trigger IN ('manual', 'backfill');

-- How many runs of the job ended badly since one succeeded: what `pause_after` counts.
ALTER TABLE mark ADD COLUMN failed_in_a_row INTEGER NOT NULL DEFAULT 0;

-- `job` is '*' for a pause of all jobs; no job has that name.
CREATE TABLE pause (
    job TEXT PRIMARY KEY NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- Append only.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    job TEXT,
    run TEXT,
    detail TEXT
) STRICT;
