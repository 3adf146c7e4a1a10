//! Every SQL statement of the SQLite store, in one dialect that PostgreSQL reads too.
//!
//! Placeholders are `$1`, `$2`, … and first appear in rising order: SQLite numbers `$n` by first appearance, not by n. The
//! tests below check that of every statement, prepare each against the newest schema and look at the plans of those that
//! must stay quick with a million runs.

/// Declares the statements and [`ALL`] of them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $($part:expr),+;)*) => {
        $($(#[$doc])* pub(super) const $name: &str = concat!($($part),+);)*
        /// Every statement, by name.
        #[cfg(test)]
        const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

macro_rules! run_columns {
    () => {
        "seq, id, instance, job, trigger, scheduled_at, created_at, finished_at, deadline, cancelled, status, state, \
         definition, retries_used, history_len, attempts, error, cause, exit_code, next_action_at, request"
    };
}

macro_rules! span_columns {
    () => {
        "id, job, status, trigger, scheduled_at, created_at, finished_at, attempts"
    };
}

/// The names of all jobs that have a run.
macro_rules! leap {
    () => {
        "WITH RECURSIVE leap (name) AS (SELECT MIN(job) FROM run UNION ALL \
         SELECT (SELECT MIN(job) FROM run WHERE job > leap.name) FROM leap WHERE leap.name IS NOT NULL) "
    };
}

macro_rules! notice_columns {
    () => {
        "notice.id AS id, notice.job AS job, channel, about, notice.state AS state, owed_at, since, next_at, moved_at, \
         tries, last_error, facts"
    };
}

statements! {
    META = "SELECT value FROM meta WHERE key = $1";
    SET_META = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    TERM = "SELECT term FROM lease WHERE id = 1";
    NEXT_TERM = "UPDATE lease SET term = term + 1, holder = $1, since = $2 WHERE id = 1 RETURNING term";

    FORGET_MARK = "DELETE FROM mark WHERE job = $1";
    SET_MARK = "INSERT INTO mark (job, schedule, mark, anchor, failed_in_a_row, ended_badly, left_out, term) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                ON CONFLICT (job) DO UPDATE SET schedule = excluded.schedule, mark = excluded.mark, \
                anchor = excluded.anchor, failed_in_a_row = excluded.failed_in_a_row, \
                ended_badly = excluded.ended_badly, left_out = excluded.left_out, term = excluded.term";
    SET_PAUSE = "INSERT INTO pause (job, body) VALUES ($1, $2) ON CONFLICT (job) DO UPDATE SET body = excluded.body";
    LIFT_PAUSE = "DELETE FROM pause WHERE job = $1";
    ADD_AUDIT = "INSERT INTO audit (at, actor, action, job, run, detail) VALUES ($1, $2, $3, $4, $5, $6)";
    /// Nothing is added for a run that is not there.
    SET_LOG_TAIL = "INSERT INTO log_tail (run, attempt, body) SELECT seq, $1, $2 FROM run WHERE id = $3 \
                    ON CONFLICT (run, attempt) DO UPDATE SET body = excluded.body";
    /// Nothing is added that is there already, or for a run that is not.
    ADD_NOTICE = "INSERT INTO notice (id, job, channel, about, state, owed_at, since, next_at, tries, facts, run) \
                  SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, seq FROM run WHERE id = $11 ON CONFLICT DO NOTHING";
    MOVE_NOTICE = "UPDATE notice SET state = $1, since = $2, next_at = $3, moved_at = $4, tries = $5, last_error = $6, \
                   facts = $7 WHERE id = $8";
    DEFINITION_ID = "SELECT id FROM definition WHERE hash = $1";
    ADD_DEFINITION = "INSERT INTO definition (hash, body) VALUES ($1, $2) RETURNING id";
    /// No row comes back if the run, or another of its firing, is there already.
    ADD_RUN = "INSERT INTO run (id, instance, job, trigger, scheduled_at, created_at, finished_at, deadline, cancelled, \
               status, state, definition, retries_used, history_len, attempts, error, cause, exit_code, next_action_at, \
               request, term) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
               $21) \
               ON CONFLICT DO NOTHING RETURNING seq";
    RUN_EXTENT = "SELECT seq, history_len, attempts FROM run WHERE id = $1";
    SET_RUN = "UPDATE run SET finished_at = $1, deadline = $2, cancelled = $3, status = $4, state = $5, \
               retries_used = $6, history_len = $7, attempts = $8, error = $9, cause = $10, exit_code = $11, \
               next_action_at = $12, term = $13 WHERE seq = $14";
    SET_ATTEMPT = "INSERT INTO attempt (run, attempt, body) VALUES ($1, $2, $3) \
                   ON CONFLICT (run, attempt) DO UPDATE SET body = excluded.body";
    /// The request itself is never touched.
    SET_LAUNCH = "UPDATE launch SET first_sent_at = $1, unresolved = $2 \
                  WHERE run = $3 AND generation = $4 AND client_token = $5";
    ADD_LAUNCH = "INSERT INTO launch (run, generation, client_token, started_by, request, first_sent_at, unresolved) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7)";
    ADD_EVENT = "INSERT INTO event (run, seq, at, type, detail) VALUES ($1, $2, $3, $4, $5)";

    JOB_AFTER = "SELECT MIN(job) FROM run WHERE job > $1";
    NTH_NEWEST_OF_JOB = "SELECT seq FROM run WHERE job = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2";
    ROWS_OF_JOB = "SELECT seq, status, scheduled_at, created_at, finished_at, definition FROM run \
                   WHERE job = $1 AND seq > $2 ORDER BY seq";
    NEWEST_IN_STATUS = "SELECT MAX(seq) FROM run WHERE job = $1 AND status = $2";
    OLD_AUDIT = "SELECT seq FROM (SELECT seq, at FROM audit ORDER BY seq LIMIT $1) AS oldest WHERE at < $2 \
                 AND seq < (SELECT MAX(seq) FROM audit)";
    OWES_NOTICE = "SELECT EXISTS (SELECT 1 FROM notice WHERE run = $1 AND state = 'owed')";
    DROP_NOTICES = "DELETE FROM notice WHERE run = $1";
    DROP_EVENTS = "DELETE FROM event WHERE run = $1";
    DROP_LOG_TAILS = "DELETE FROM log_tail WHERE run = $1";
    DROP_ATTEMPTS = "DELETE FROM attempt WHERE run = $1";
    DROP_LAUNCHES = "DELETE FROM launch WHERE run = $1";
    DROP_RUN = "DELETE FROM run WHERE seq = $1";
    DROP_DEFINITION_UNUSED = "DELETE FROM definition WHERE id = $1 \
                              AND NOT EXISTS (SELECT 1 FROM run WHERE definition = $1)";
    DROP_AUDIT = "DELETE FROM audit WHERE seq = $1";

    MARKS = "SELECT job, schedule, mark, anchor, failed_in_a_row, ended_badly, left_out FROM mark ORDER BY job";
    PAUSES = "SELECT job, body FROM pause ORDER BY job";
    AUDIT = "SELECT seq, at, actor, action, job, run, detail FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
    UNFINISHED = "SELECT ", run_columns!(), " FROM run WHERE finished_at IS NULL ORDER BY seq";
    DEFINITION = "SELECT body FROM definition WHERE id = $1";
    ATTEMPTS = "SELECT body FROM attempt WHERE run = $1 ORDER BY attempt";
    NEWEST_LAUNCH = "SELECT generation, request, first_sent_at, unresolved FROM launch \
                     WHERE run = $1 ORDER BY generation DESC LIMIT 1";
    /// Answered by the index alone.
    LAUNCHES = "SELECT first_sent_at FROM launch WHERE first_sent_at >= $1 AND first_sent_at <= $2 \
                ORDER BY first_sent_at DESC LIMIT $3";
    EVENTS = "SELECT seq, at, type, detail FROM event WHERE run = $1 ORDER BY seq";
    LOG_TAILS = "SELECT attempt, body FROM log_tail WHERE run = $1 ORDER BY attempt";
    NOTICE = "SELECT seq, ", notice_columns!(), " FROM notice WHERE id = $1";
    NOTICES_OF_RUN = "SELECT ", notice_columns!(), ", NULL AS run_id FROM notice WHERE run = $1 ORDER BY seq";
    NOTICES = "SELECT ", notice_columns!(), ", run.id AS run_id FROM notice JOIN run ON run.seq = notice.run \
               WHERE notice.seq < $1 AND ($2 IS NULL OR notice.channel = $2) ORDER BY notice.seq DESC LIMIT $3";
    NOTICES_OF_JOB = "SELECT ", notice_columns!(), ", run.id AS run_id FROM notice JOIN run ON run.seq = notice.run \
                      WHERE notice.job = $1 AND notice.seq < $2 AND ($3 IS NULL OR notice.channel = $3) \
                      ORDER BY notice.seq DESC LIMIT $4";
    NOTICES_IN_STATE = "SELECT ", notice_columns!(), ", run.id AS run_id FROM notice JOIN run ON run.seq = notice.run \
                        WHERE notice.state = $1 AND notice.seq < $2 AND ($3 IS NULL OR notice.channel = $3) \
                        ORDER BY notice.seq DESC LIMIT $4";
    NOTICES_OF_JOB_IN_STATE = "SELECT ", notice_columns!(), ", run.id AS run_id FROM notice \
                               JOIN run ON run.seq = notice.run WHERE notice.job = $1 AND notice.state = $2 \
                               AND notice.seq < $3 AND ($4 IS NULL OR notice.channel = $4) \
                               ORDER BY notice.seq DESC LIMIT $5";
    DUE_NOTICES = "SELECT ", notice_columns!(), " FROM notice WHERE notice.state = 'owed' AND channel = $1 \
                   AND next_at > $2 AND next_at <= $3 ORDER BY next_at, seq LIMIT $4";
    /// Leaps from channel to channel, however many notices each is owed.
    OWED_CHANNELS = "WITH RECURSIVE leap (name) AS (SELECT MIN(channel) FROM notice WHERE state = 'owed' UNION ALL \
                     SELECT (SELECT MIN(channel) FROM notice WHERE state = 'owed' AND channel > leap.name) \
                     FROM leap WHERE leap.name IS NOT NULL) \
                     SELECT name AS channel, (SELECT MIN(next_at) FROM notice WHERE state = 'owed' \
                     AND channel = leap.name) AS next_at FROM leap WHERE name IS NOT NULL";
    COUNT_NOTICES = "SELECT COUNT(*) AS count FROM notice WHERE state = $1";
    RUN = "SELECT ", run_columns!(), " FROM run WHERE id = $1";
    /// The row of an instant that a schedule named, or the next one after it, which may stand for it too.
    RUN_OF_INSTANT = "SELECT ", run_columns!(), " FROM run WHERE job = $1 AND scheduled_at >= $2 \
                      AND trigger IN ('schedule', 'catchup') ORDER BY scheduled_at LIMIT 1";
    RUNS_ASKED_FOR = "SELECT ", run_columns!(), " FROM run WHERE job = $1 AND scheduled_at = $2 \
                      AND trigger IN ('manual', 'backfill') ORDER BY seq";
    RUNS = "SELECT ", run_columns!(), " FROM run WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
    RUNS_OF_JOB = "SELECT ", run_columns!(), " FROM run WHERE job = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
    RUNS_IN_STATUS = "SELECT ", run_columns!(), " FROM run WHERE status = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
    RUNS_OF_JOB_IN_STATUS = "SELECT ", run_columns!(), " FROM run WHERE job = $1 AND status = $2 AND seq < $3 \
                             ORDER BY seq DESC LIMIT $4";
    LIVING = "SELECT ", run_columns!(), " FROM run WHERE finished_at IS NULL ORDER BY seq DESC LIMIT $1";
    /// Said as the index `run_bad` says it: by what they are, `run_in_status` would find all that ever ended so.
    BAD_SINCE = "SELECT ", run_columns!(), " FROM run WHERE status NOT IN ('succeeded', 'cancelled', 'skipped') \
                 AND finished_at >= $1 ORDER BY finished_at DESC, seq DESC LIMIT $2";
    LIVING_SPANS = "SELECT ", span_columns!(), " FROM run WHERE finished_at IS NULL AND created_at <= $1 \
                    ORDER BY seq DESC";
    SPANS = "SELECT ", span_columns!(), " FROM run WHERE job = $1 AND created_at >= $2 AND created_at <= $3 \
             AND finished_at >= $4 ORDER BY created_at DESC, seq DESC LIMIT $5";
    /// Those that began before the ones above. The first term is the one of the index `run_long`.
    LONG_SPANS = "SELECT ", span_columns!(), " FROM run WHERE finished_at - created_at > 3600000 AND job = $1 \
                  AND finished_at >= $2 AND created_at < $3 ORDER BY finished_at, seq LIMIT $4";
    /// Leaps from job to job: as many look-ups as there are jobs, however many runs they have.
    LAST_RUNS = leap!(), "SELECT ", run_columns!(), " FROM leap JOIN run ON seq = \
                 (SELECT newest.seq FROM run AS newest WHERE newest.job = leap.name ORDER BY newest.seq DESC LIMIT 1) \
                 ORDER BY job";
    LAST_RUNS_IN_STATUS = leap!(), "SELECT ", run_columns!(), " FROM leap JOIN run ON seq = \
                 (SELECT newest.seq FROM run AS newest WHERE newest.job = leap.name AND newest.status = $1 \
                 ORDER BY newest.seq DESC LIMIT 1) ORDER BY job";
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::open::MIGRATIONS;
    use super::*;

    fn with_schema() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            connection.execute_batch(migration).unwrap();
        }
        connection
    }

    /// The numbers of the placeholders, in order of first appearance.
    fn placeholders(sql: &str) -> Vec<usize> {
        let mut seen = Vec::new();
        for after in sql.split('$').skip(1) {
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            let number = digits.parse().expect("a number follows `$`");
            if !seen.contains(&number) {
                seen.push(number);
            }
        }
        seen
    }

    #[test]
    fn placeholders_first_appear_in_rising_order() {
        for (name, sql) in ALL {
            let seen = placeholders(sql);
            assert_eq!(seen, (1..=seen.len()).collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn every_statement_fits_the_newest_schema() {
        let connection = with_schema();
        for (name, sql) in ALL {
            let statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(statement.parameter_count(), placeholders(sql).len(), "{name}");
        }
    }

    #[test]
    fn listings_neither_scan_the_table_nor_sort() {
        let connection = with_schema();
        for sql in [
            UNFINISHED,
            RUN,
            RUNS,
            RUNS_OF_JOB,
            RUNS_IN_STATUS,
            RUNS_OF_JOB_IN_STATUS,
            LIVING,
            BAD_SINCE,
            LIVING_SPANS,
            SPANS,
            LONG_SPANS,
            LAST_RUNS,
            LAST_RUNS_IN_STATUS,
            RUN_EXTENT,
            RUN_OF_INSTANT,
            RUNS_ASKED_FOR,
            LAUNCHES,
            ATTEMPTS,
            AUDIT,
            JOB_AFTER,
            NTH_NEWEST_OF_JOB,
            ROWS_OF_JOB,
            NEWEST_IN_STATUS,
            OLD_AUDIT,
            OWES_NOTICE,
            DROP_NOTICES,
            DROP_EVENTS,
            DROP_LOG_TAILS,
            DROP_ATTEMPTS,
            DROP_LAUNCHES,
            DROP_RUN,
            DROP_DEFINITION_UNUSED,
            DROP_AUDIT,
            NOTICE,
            NOTICES_OF_RUN,
            NOTICES,
            NOTICES_OF_JOB,
            NOTICES_IN_STATE,
            NOTICES_OF_JOB_IN_STATE,
            DUE_NOTICES,
            OWED_CHANNELS,
            COUNT_NOTICES,
            MOVE_NOTICE,
        ] {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
            let plan: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(nulls), |row| row.get("detail"))
                .unwrap()
                .map(Result::unwrap)
                .collect();
            let is_table =
                |step: &String| ["SCAN run", "SCAN notice", "SCAN launch"].iter().any(|scan| step.starts_with(scan));
            // Newest first, up to the limit.
            let is_all = |step: &String| sql == AUDIT || step.contains("run_unfinished");
            let scans = |step: &String| is_table(step) && !is_all(step);
            assert!(!plan.iter().any(scans), "{sql}: {plan:#?}");
            // The jobs themselves may be sorted, there are few.
            let sorts = |step: &String| step.contains("TEMP B-TREE");
            let may_sort = [LAST_RUNS, LAST_RUNS_IN_STATUS].contains(&sql);
            assert!(may_sort || !plan.iter().any(sorts), "{sql}: {plan:#?}");
        }
    }

    #[test]
    fn what_the_page_shows_of_a_time_is_found_by_the_index_of_that_time() {
        let connection = with_schema();
        for (sql, index) in [
            (BAD_SINCE, "run_bad (finished_at>?)"),
            (SPANS, "run_since (job=? AND created_at>? AND created_at<?)"),
            (LONG_SPANS, "run_long (job=? AND finished_at>?)"),
            (LIVING, "run_unfinished (finished_at=?)"),
            (LIVING_SPANS, "run_unfinished (finished_at=?)"),
        ] {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
            let mut plan = statement.query(rusqlite::params_from_iter(nulls)).unwrap();
            let step: String = plan.next().unwrap().unwrap().get("detail").unwrap();
            assert_eq!(step, format!("SEARCH run USING INDEX {index}"), "{sql}");
        }
    }
}
