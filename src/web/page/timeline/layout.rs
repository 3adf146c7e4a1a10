//! Which bars stand on a lane, and where: what is too near to be told apart becomes one bar with a count, and what overlaps
//! stands on tracks below each other. A merge never hides what is bad: a bar looks like the worst in it.

use super::super::parts::Look;

/// Bars nearer than this, in thousandths of the width, can't be told apart.
const GAP: i32 = 3;
/// Bars of up to so many gaps are merged; longer ones can be told apart by their ends, however near they are.
const SMALL: i32 = 4;
/// The narrowest bar that is seen.
const NARROWEST: i32 = 2;
/// How many runs of a job can stand below each other; further ones are merged into the last track.
pub(super) const TRACKS_MAX: usize = 3;
/// How many bars a page has.
const BARS_MAX: usize = 1_000;
/// How many of them are links with a title.
pub(super) const LINKED_MAX: usize = 100;

/// A run on its lane, from and until which place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) from: i32,
    pub(super) until: i32,
    pub(super) look: Look,
    /// Whose it is: its place in the caller's list.
    pub(super) run: usize,
}

/// What is drawn as one: a run, or several that can't be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) from: i32,
    pub(super) until: i32,
    /// The worst of them.
    pub(super) look: Look,
    /// The newest of those that look so.
    pub(super) run: usize,
    /// How many look how, by the order of [`Look::ALL`].
    pub(super) looks: [u32; Look::ALL.len()],
    /// The first and the last of them.
    pub(super) ends: (usize, usize),
}

impl Group {
    fn of(bar: &Bar) -> Group {
        let mut group = Group {
            from: bar.from,
            until: bar.until.max(bar.from + NARROWEST),
            look: bar.look,
            run: bar.run,
            looks: [0; Look::ALL.len()],
            ends: (bar.run, bar.run),
        };
        group.count_in(bar.look);
        group
    }

    fn count_in(&mut self, look: Look) {
        if let Some((_, count)) = Look::ALL.iter().zip(&mut self.looks).find(|(one, _)| **one == look) {
            *count += 1;
        }
    }

    fn take(&mut self, bar: &Bar) {
        self.until = self.until.max(bar.until);
        if badness(bar.look) >= badness(self.look) {
            (self.look, self.run) = (bar.look, bar.run);
        }
        self.count_in(bar.look);
        self.ends.1 = bar.run;
    }

    /// How many runs it is.
    pub(super) fn count(&self) -> u32 {
        self.looks.iter().sum()
    }

    pub(super) fn width(&self) -> i32 {
        self.until - self.from
    }

    /// Whether nobody needs to look at it.
    fn is_plain(&self) -> bool {
        matches!(self.look, Look::Good | Look::Gone)
    }
}

/// Which of two looks a merged bar must have.
fn badness(look: Look) -> u8 {
    match look {
        Look::Good => 0,
        Look::Gone => 1,
        Look::Live => 2,
        Look::Caught => 3,
        Look::Bad => 4,
    }
}

/// The tracks of a lane, each from left to right.
pub(super) type Lane = Vec<Vec<Group>>;

/// The lanes of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lanes {
    pub(super) lanes: Vec<Lane>,
    linked: Linked,
}

/// Which bars are links.
#[derive(Debug, PartialEq, Eq)]
enum Linked {
    All,
    /// Those that need somebody, or may yet, and begin at this place or later.
    From(i32),
}

impl Lanes {
    fn new(lanes: Vec<Lane>) -> Lanes {
        let groups = || lanes.iter().flatten().flatten();
        let linked = if groups().count() <= LINKED_MAX {
            Linked::All
        } else {
            let mut froms: Vec<i32> = groups().filter(|group| !group.is_plain()).map(|group| group.from).collect();
            froms.sort_unstable_by_key(|from| std::cmp::Reverse(*from));
            Linked::From(froms.get(LINKED_MAX).map_or(0, |from| from + 1))
        };
        Lanes { lanes, linked }
    }

    pub(super) fn links(&self, group: &Group) -> bool {
        match self.linked {
            Linked::All => true,
            Linked::From(from) => !group.is_plain() && group.from >= from,
        }
    }

    pub(super) fn links_all(&self) -> bool {
        self.linked == Linked::All
    }
}

/// Lays the bars of a page out, as finely as it may be without becoming heavy.
pub(super) fn lanes(bars: &[Vec<Bar>]) -> Lanes {
    let mut gap = GAP;
    loop {
        let lanes: Vec<Lane> = bars.iter().map(|bars| lane(bars, gap)).collect();
        if lanes.iter().flatten().flatten().count() <= BARS_MAX || gap > super::window::WIDTH {
            return Lanes::new(lanes);
        }
        gap *= 2;
    }
}

fn lane(bars: &[Bar], gap: i32) -> Lane {
    let mut bars = bars.to_vec();
    bars.sort_by_key(|bar| (bar.from, bar.until, bar.run));
    let mut tracks: Lane = Vec::new();
    for bar in &bars {
        place(bar, gap, &mut tracks);
    }
    tracks
}

fn place(bar: &Bar, gap: i32, tracks: &mut Lane) {
    let is_small = |width: i32| width <= SMALL * gap;
    let near =
        |group: &&mut Group| bar.from < group.until + gap && is_small(group.width()) && is_small(bar.until - bar.from);
    if let Some(group) = tracks.iter_mut().filter_map(|track| track.last_mut()).find(near) {
        group.take(bar);
        return;
    }
    let is_free = |track: &&mut Vec<Group>| track.last().is_none_or(|last| last.until <= bar.from);
    if let Some(track) = tracks.iter_mut().find(is_free) {
        track.push(Group::of(bar));
    } else if tracks.len() < TRACKS_MAX {
        tracks.push(vec![Group::of(bar)]);
    } else if let Some(group) = tracks.last_mut().and_then(|track| track.last_mut()) {
        group.take(bar);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bars of runs 0, 1, 2, …
    fn bars(given: &[(i32, i32, Look)]) -> Vec<Bar> {
        let bars = given.iter().enumerate();
        bars.map(|(run, (from, until, look))| Bar { from: *from, until: *until, look: *look, run }).collect()
    }

    fn drawn(lane: &Lane) -> Vec<Vec<(i32, i32, Look, u32)>> {
        let group = |group: &Group| (group.from, group.until, group.look, group.count());
        lane.iter().map(|track| track.iter().map(group).collect()).collect()
    }

    fn count(groups: &[&Group], look: Look) -> u32 {
        let nth = Look::ALL.iter().position(|one| *one == look).unwrap();
        groups.iter().map(|group| group.looks[nth]).sum()
    }

    #[test]
    fn bars_apart_stand_alone_and_a_short_one_is_wide_enough_to_be_seen() {
        let lane = lane(&bars(&[(10, 10, Look::Good), (20, 60, Look::Bad), (60, 100, Look::Good)]), GAP);
        let expected = [vec![(10, 12, Look::Good, 1), (20, 60, Look::Bad, 1), (60, 100, Look::Good, 1)]];
        assert_eq!(drawn(&lane), expected, "long ones are told apart though they touch");
    }

    #[test]
    fn bars_that_are_too_near_are_one_that_looks_like_the_worst() {
        let lane =
            lane(&bars(&[(10, 11, Look::Good), (13, 14, Look::Bad), (15, 16, Look::Bad), (17, 18, Look::Gone)]), GAP);
        assert_eq!(drawn(&lane), [[(10, 18, Look::Bad, 4)]]);
        let group = lane[0][0];
        assert_eq!((group.run, group.ends), (2, (0, 3)), "the newest of the worst");
        assert_eq!((count(&[&group], Look::Bad), count(&[&group], Look::Good)), (2, 1));
    }

    #[test]
    fn a_row_of_short_bars_is_several_groups_and_not_one_endless_one() {
        let many: Vec<_> = (0..500).map(|nth| (nth * 2, nth * 2 + 1, Look::Good)).collect();
        let lane = lane(&bars(&many), GAP);
        let groups: Vec<&Group> = lane.iter().flatten().collect();
        assert!((50..=100).contains(&groups.len()), "{}", groups.len());
        assert_eq!(count(&groups, Look::Good), 500);
    }

    #[test]
    fn what_overlaps_stands_on_tracks_and_what_has_none_left_is_counted_in() {
        let long = (100, 300, Look::Live);
        let lane =
            lane(&bars(&[long, long, (150, 350, Look::Good), (200, 400, Look::Bad), (310, 420, Look::Good)]), GAP);
        assert_eq!(
            drawn(&lane),
            [
                vec![(100, 300, Look::Live, 1), (310, 420, Look::Good, 1)],
                vec![(100, 300, Look::Live, 1)],
                vec![(150, 400, Look::Bad, 2)],
            ]
        );
    }

    #[test]
    fn a_page_stays_light_and_hides_nothing_bad() {
        // Fifty busy lanes, in which every tenth run failed.
        let look = |nth: i32| if nth % 10 == 0 { Look::Bad } else { Look::Good };
        let lane: Vec<_> = (0..400).map(|nth| (nth * 5 / 2, nth * 5 / 2 + 1, look(nth))).collect();
        let page = lanes(&vec![bars(&lane); 50]);
        let groups: Vec<&Group> = page.lanes.iter().flatten().flatten().collect();
        assert!(groups.len() <= BARS_MAX, "{}", groups.len());
        assert_eq!((count(&groups, Look::Bad), count(&groups, Look::Good)), (50 * 40, 50 * 360));
        for group in &groups {
            assert!(count(&[group], Look::Bad) == 0 || group.look == Look::Bad, "{group:?}");
        }
        let (linked, others): (Vec<&Group>, Vec<&Group>) = groups.iter().partition(|group| page.links(group));
        assert!((50..=LINKED_MAX).contains(&linked.len()), "{}", linked.len());
        let oldest = linked.iter().map(|group| group.from).min().unwrap();
        assert!(others.iter().all(|group| group.look == Look::Good || group.from < oldest), "the newest are links");
    }

    #[test]
    fn few_bars_are_all_links_and_many_good_ones_keep_their_places() {
        let few = lanes(&[bars(&[(10, 20, Look::Good)])]);
        assert!(few.links_all());
        let hourly: Vec<_> = (0..24).map(|nth| (nth * 21, nth * 21 + 1, Look::Good)).collect();
        let many = lanes(&vec![bars(&hourly); 30]);
        assert!(!many.links_all());
        assert!(many.lanes.iter().all(|lane| lane[0].len() == 24), "each run is still seen");
    }
}
