//! The picture of a graph: one column, what was taken with a whole line and in the colours of the legend, the rest dashed.

use maud::{Markup, html};

use super::super::parts::Look;
use super::graph::{Graph, Kind, Node};

/// All in pixels of a picture that is as wide as a phone.
const WIDTH: i32 = 380;
const LEFT: i32 = 22;
const BOX: i32 = 250;
const HEIGHT: i32 = 46;
const PILL: i32 = 40;
const FOLD: i32 = 40;
const GAP: i32 = 22;
const TOP: i32 = 4;
const ASIDE_LEFT: i32 = 292;
const ASIDE: i32 = 86;
/// Where the line runs that passes over steps.
const BYPASS: i32 = 8;
/// How many letters fit.
const TITLE_MAX: usize = 30;
const DETAIL_MAX: usize = 36;

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At {
    y: i32,
    height: i32,
}

impl At {
    fn middle(self) -> i32 {
        self.y + self.height / 2
    }

    fn end(self) -> i32 {
        self.y + self.height
    }
}

/// Where each step stands, and how high the picture is.
fn layout(graph: &Graph) -> (Vec<At>, i32) {
    let mut y = TOP;
    let places = graph.nodes.iter().map(|node| {
        let height = match node.kind {
            Kind::Edge => PILL,
            Kind::Step => HEIGHT,
            Kind::Folded => FOLD,
        };
        let at = At { y, height };
        y += height + GAP;
        at
    });
    let places: Vec<At> = places.collect();
    (places, y - GAP + TOP)
}

/// A line from one step to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    from: usize,
    to: usize,
    /// None if it was not taken.
    look: Option<Look>,
}

/// A line from each step to the next, and past those that were not taken.
fn lines(graph: &Graph) -> Vec<Line> {
    let taken: Vec<(usize, Look)> =
        graph.nodes.iter().enumerate().filter_map(|(at, node)| Some((at, node.look?))).collect();
    let mut lines: Vec<Line> = (1..graph.nodes.len()).map(|to| Line { from: to - 1, to, look: None }).collect();
    for ((from, look), (to, _)) in taken.iter().zip(taken.iter().skip(1)) {
        let (from, to, look) = (*from, *to, Some(*look));
        match lines.iter_mut().find(|line| (line.from, line.to) == (from, to)) {
            Some(line) => line.look = look,
            None => lines.push(Line { from, to, look }),
        }
    }
    lines
}

pub(super) fn picture(graph: &Graph) -> Markup {
    let (places, height) = layout(graph);
    // No image: what is inside is read and reached, one link after the other.
    html! {
        svg .graph viewBox={ "0 0 " (WIDTH) " " (height) } width=(WIDTH) height=(height) role="group" aria-label=(graph.in_words()) {
            @for line in lines(graph) {
                @if let (Some(from), Some(to)) = (places.get(line.from), places.get(line.to)) {
                    (drawn(line, *from, *to))
                }
            }
            @for (node, at) in graph.nodes.iter().zip(&places) { (step(node, *at)) }
            @if let Some((beside, said)) = &graph.aside {
                @if let Some(at) = places.get(*beside) { (aside(said, *at)) }
            }
        }
    }
}

fn drawn(line: Line, from: At, to: At) -> Markup {
    let class = format!("line {}", line.look.map_or("not", Look::class));
    let middle = LEFT + BOX / 2;
    let path = if line.to == line.from + 1 {
        format!("M{middle} {}V{}", from.end(), to.y)
    } else {
        format!("M{LEFT} {}H{BYPASS}V{}H{LEFT}", from.middle(), to.middle())
    };
    // The point of the arrow.
    let (x, y) = if line.to == line.from + 1 { (middle, to.y) } else { (LEFT, to.middle()) };
    let point = if line.to == line.from + 1 {
        format!("M{} {}L{x} {y}L{} {}", x - 5, y - 7, x + 5, y - 7)
    } else {
        format!("M{} {}L{x} {y}L{} {}", x - 7, y - 5, x - 7, y + 5)
    };
    html! { path class=(class) aria-hidden="true" d={ (path) (point) } {} }
}

fn step(node: &Node, at: At) -> Markup {
    let class = format!("node {}", node.look.map_or("not", Look::class));
    let round = if node.kind == Kind::Edge { at.height / 2 } else { 6 };
    let inside = html! {
        title { (node.title) ": " (node.look.map_or("not taken", Look::word)) @if !node.detail.is_empty() { ", " (node.detail) } }
        rect x=(LEFT) y=(at.y) width=(BOX) height=(at.height) rx=(round) {}
        @if let Some(look) = node.look {
            text .sign x=(LEFT + 18) y=(at.middle() + 5) text-anchor="middle" aria-hidden="true" { (look.sign()) }
        }
        text .title x=(LEFT + 36) y=(if node.detail.is_empty() { at.middle() + 5 } else { at.middle() - 3 }) {
            (cut(&node.title, TITLE_MAX))
        }
        @if !node.detail.is_empty() {
            text .detail x=(LEFT + 36) y=(at.middle() + 14) { (cut(&node.detail, DETAIL_MAX)) }
        }
    };
    html! {
        @match &node.link {
            Some(link) => a href=(link) class=(class) { (inside) },
            None => g class=(class) { (inside) },
        }
    }
}

/// A step that was not taken, beside the one that did not lead to it.
fn aside(said: &str, at: At) -> Markup {
    let (from, y) = (LEFT + BOX, at.middle());
    html! {
        path .line.not aria-hidden="true" d={ "M" (from) " " (y) "H" (ASIDE_LEFT) "M" (ASIDE_LEFT - 7) " " (y - 5) "L" (ASIDE_LEFT) " " (y) "L" (ASIDE_LEFT - 7) " " (y + 5) } {}
        g .node.not {
            title { "Retry: " (said) }
            rect x=(ASIDE_LEFT) y=(at.y) width=(ASIDE) height=(at.height) rx="6" {}
            text .title x=(ASIDE_LEFT + ASIDE / 2) y=(y - 3) text-anchor="middle" { "Retry" }
            text .detail x=(ASIDE_LEFT + ASIDE / 2) y=(y + 14) text-anchor="middle" { (said) }
        }
    }
}

/// What fits into a box; all of it is in the box's title.
fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests as lives;
    use super::*;

    #[test]
    fn steps_stand_below_each_other_and_none_overlaps() {
        for told in [lives::succeeded(), lives::failed_often(20), lives::skipped()] {
            let graph = Graph::of(&told);
            let (places, height) = layout(&graph);
            assert_eq!(places.len(), graph.nodes.len());
            for pair in places.windows(2) {
                assert_eq!(pair[0].end() + GAP, pair[1].y, "{places:?}");
            }
            assert_eq!(places.last().unwrap().end() + TOP, height);
        }
        const { assert!(LEFT + BOX < ASIDE_LEFT && ASIDE_LEFT + ASIDE < WIDTH) };
    }

    #[test]
    fn the_taken_path_is_whole_and_passes_over_what_was_not() {
        let line = |from, to, look| Line { from, to, look };
        let graph = Graph::of(&lives::skipped());
        assert_eq!(
            lines(&graph),
            [
                line(0, 1, Some(Look::Good)),
                line(1, 2, None),
                line(2, 3, None),
                line(3, 4, None),
                line(4, 5, None),
                line(1, 5, Some(Look::Gone)),
            ]
        );
        let drawn = picture(&graph).into_string();
        assert!(drawn.contains(r#"<path class="line gone" aria-hidden="true" d="M22"#), "{drawn}");
        let waiting = lines(&Graph::of(&lives::waiting()));
        assert_eq!(waiting.last(), Some(&line(5, 6, None)), "what is to come is not taken yet");
    }

    #[test]
    fn a_step_carries_a_sign_beside_its_colour_and_leads_to_its_attempt() {
        let drawn = picture(&Graph::of(&lives::retried())).into_string();
        assert!(drawn.contains(r##"<a href="#attempt-2" class="node good"><title>Attempt 2: succeeded, "##), "{drawn}");
        for look in [Look::Good, Look::Caught] {
            assert!(drawn.contains(&format!(">{}</text>", look.sign())), "{drawn}");
        }
        assert!(!drawn.contains("style="), "{drawn}");
    }

    #[test]
    fn what_comes_from_elsewhere_is_escaped_and_cut() {
        let mut told = lives::failed();
        told.run.attempt_list[3].error_names = vec!["<script>alert(1)</script>".repeat(3)];
        let drawn = picture(&Graph::of(&told)).into_string();
        assert!(drawn.contains("&lt;script&gt;") && !drawn.contains("<script"), "{drawn}");
        assert_eq!(cut("ä".repeat(40).as_str(), 36).chars().count(), 36);
    }
}
