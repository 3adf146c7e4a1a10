//! Saving in memory: everything of a batch that can fail is prepared before anything is changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::notice::NoticeRow;
use super::super::row::{self, EventRow, Extent, Fault, LaunchRow, Misfit, Origin, Progress};
use super::super::{AuditRow, Batch, RunSave};
use super::{Data, MarkRow, Stored};
use crate::engine::job::{Definition, JobName};
use crate::engine::run::RunId;

/// What a save will do, with everything prepared that can fail.
struct Prepared {
    origin: Origin,
    progress: Progress,
    place: Place,
    definition: Option<i64>,
    attempts_from: usize,
    attempts: Vec<String>,
    launch: Option<LaunchRow>,
    events: Vec<EventRow>,
}

enum Place {
    New,
    At(usize),
}

impl Data {
    pub(super) fn save(&mut self, batch: &Batch) -> Result<BTreeSet<RunId>, Fault> {
        let mut dropped = BTreeSet::new();
        let mut prepared = Vec::with_capacity(batch.runs.len());
        // What earlier saves of this batch will have stored.
        let mut ahead = Ahead { next: self.next_place, ..Ahead::default() };
        for save in &batch.runs {
            match self.prepare(save, &mut ahead)? {
                Some(ready) => prepared.push(ready),
                None => {
                    dropped.insert(save.run.id.clone());
                }
            }
        }
        let pauses = batch.pauses.iter().map(|(scope, pause)| {
            let body = pause.as_ref().map(row::to_json).transpose()?;
            Ok((row::of_scope(scope).to_owned(), body))
        });
        let pauses = pauses.collect::<Result<Vec<_>, Fault>>()?;
        let tails = batch.log_tails.iter().map(|(run, attempt, tails)| Ok((run, *attempt, row::to_json(tails)?)));
        let tails = tails.collect::<Result<Vec<_>, Fault>>()?;
        let mut notices: Vec<(RunId, NoticeRow)> = Vec::new();
        for notice in batch.notices.iter().filter(|notice| !dropped.contains(&notice.facts.run)) {
            let is_known = self.notices.iter().chain(&notices).any(|(_, known)| known.id == notice.id);
            let has_run = ahead.places.contains_key(&notice.facts.run) || self.places.contains_key(&notice.facts.run);
            if !is_known && has_run {
                notices.push((notice.facts.run.clone(), NoticeRow::of(notice)?));
            }
        }
        for job in &batch.forgotten_marks {
            self.marks.remove(job);
        }
        for mark in &batch.marks {
            self.marks.insert(mark.job.clone(), MarkRow::of(mark));
        }
        for (scope, body) in pauses {
            match body {
                Some(body) => self.pauses.insert(scope, body),
                None => self.pauses.remove(&scope),
            };
        }
        let newest = self.audit.last().map_or(0, |row| row.seq);
        let said = batch.audit.iter().filter(|entry| !entry.is_of_any(&dropped)).cloned();
        self.audit.extend((newest + 1..).zip(said).map(|(seq, audit)| AuditRow { seq, audit }));
        for ready in prepared {
            self.apply(ready);
        }
        self.notices.extend(notices);
        for moved in &batch.notice_moves {
            let owed = self.notices.iter_mut().find(|(_, notice)| notice.id == moved.id);
            owed.into_iter().for_each(|(_, notice)| notice.take(moved));
        }
        for (run, attempt, body) in tails {
            if let Some(stored) = self.places.get(run).and_then(|place| self.runs.get_mut(place)) {
                stored.log_tails.insert(attempt, body);
            }
        }
        self.last_commit_at = Some(batch.at.timestamp_millis());
        Ok(dropped)
    }

    /// Everything of a save that can fail; none if it is a new run that is there already.
    fn prepare<'a>(&mut self, save: &'a RunSave, ahead: &mut Ahead<'a>) -> Result<Option<Prepared>, Fault> {
        let run = &save.run;
        let known = ahead.places.get(&run.id).or_else(|| self.places.get(&run.id)).copied();
        let (origin, progress) = row::of_run(run)?;
        let (place, stored) = match (known, save.is_new) {
            (None, true) => {
                let firing = (origin.job.clone(), origin.scheduled_at);
                let is_unique = row::is_unique(origin.trigger);
                if is_unique && (self.firings.contains(&firing) || !ahead.firings.insert(firing)) {
                    return Ok(None);
                }
                ahead.places.insert(&run.id, ahead.next);
                ahead.next += 1;
                (Place::New, Extent::default())
            }
            (Some(_), true) => return Ok(None),
            (Some(place), false) => {
                let extent = ahead.extents.get(&place).copied();
                let stored = self.runs.get(&place).map(|stored| stored.progress.extent);
                (Place::At(place), extent.or(stored).unwrap_or_default())
            }
            (None, false) => return Err(Misfit::NeverSaved(run.id.clone()).into()),
        };
        let extent = stored.continued_by(save)?;
        let at = match place {
            Place::New => ahead.next - 1,
            Place::At(at) => at,
        };
        ahead.extents.insert(at, extent);
        Ok(Some(Prepared {
            definition: if save.is_new { Some(self.definition_id(&run.definition)?) } else { None },
            attempts_from: save.attempts_from,
            attempts: run.attempts.iter().skip(save.attempts_from).map(row::to_json).collect::<Result<_, _>>()?,
            launch: run.launch.as_ref().map(LaunchRow::of).transpose()?,
            events: save.entries.iter().map(EventRow::of).collect::<Result<_, _>>()?,
            origin,
            progress,
            place,
        }))
    }

    fn definition_id(&mut self, definition: &Arc<Definition>) -> Result<i64, Fault> {
        let Data { definitions, definition_ids, by_hash, .. } = self;
        definition_ids.id_of(definition, |hash, body| {
            if let Some(id) = by_hash.get(hash) {
                return Ok(*id);
            }
            let id = definitions.last_key_value().map_or(0, |(newest, _)| newest + 1);
            definitions.insert(id, body.to_owned());
            by_hash.insert(hash.to_owned(), id);
            Ok(id)
        })
    }

    fn apply(&mut self, ready: Prepared) {
        let place = match ready.place {
            Place::New => {
                let place = self.next_place;
                self.next_place += 1;
                self.places.insert(ready.origin.id.clone(), place);
                if row::is_unique(ready.origin.trigger) {
                    self.firings.insert((ready.origin.job.clone(), ready.origin.scheduled_at));
                }
                let stored = Stored {
                    origin: ready.origin,
                    progress: ready.progress.clone(),
                    definition: ready.definition.unwrap_or_default(),
                    attempts: Vec::new(),
                    launches: BTreeMap::new(),
                    events: Vec::new(),
                    log_tails: BTreeMap::new(),
                };
                self.runs.insert(place, stored);
                place
            }
            Place::At(place) => place,
        };
        if ready.progress.finished_at.is_none() {
            self.unfinished.insert(place);
        } else {
            self.unfinished.remove(&place);
        }
        let Some(stored) = self.runs.get_mut(&place) else { return };
        stored.progress = ready.progress;
        stored.attempts.truncate(ready.attempts_from);
        stored.attempts.extend(ready.attempts);
        stored.events.extend(ready.events);
        if let Some(launch) = ready.launch {
            // The frozen request stays as it was first stored.
            let kept = stored.launches.entry(launch.generation).or_insert_with(|| launch.clone());
            (kept.first_sent_at, kept.unresolved) = (launch.first_sent_at, launch.unresolved);
        }
    }
}

/// What the saves before this one, in the same batch, will have stored.
#[derive(Default)]
struct Ahead<'a> {
    next: usize,
    places: HashMap<&'a RunId, usize>,
    firings: BTreeSet<(JobName, i64)>,
    extents: HashMap<usize, Extent>,
}
