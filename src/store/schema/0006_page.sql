-- What the page shows of a stretch of time, however long the history is.

-- Which runs of a job began then.
CREATE INDEX run_since ON run (job, created_at);
-- Which began long before: the few that lasted for more than an hour.
CREATE INDEX run_long ON run (job, finished_at) WHERE finished_at - created_at > 3600000;
-- What ended so that somebody has to look.
CREATE INDEX run_bad ON run (finished_at)
    WHERE status NOT IN ('succeeded', 'cancelled', 'skipped') AND finished_at IS NOT NULL;
-- When launches were sent, of all jobs together.
CREATE INDEX launch_sent ON launch (first_sent_at);
