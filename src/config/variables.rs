//! `${NAME}` in the strings of a file: a variable of the environment of the process that reads it.
//!
//! The tree of a file is gone through once, before anybody looks at a key, so that every string can hold variables and no
//! reader knows of them. Names of keys hold none. `${NAME:-default}` is what a shell makes of it: the default if the variable
//! is not set or empty. `$${` is a literal `${`. Whatever else begins with a dollar sign stays as it is.
//!
//! Commands are the place where `${…}` is meant for somebody else, the shell in the container. So what a shell will read is
//! left to it, and a name that this process knows too is warned of: its value is passed by the container's environment.

use std::borrow::Cow;
use std::ffi::OsString;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::Origin;
use super::report::{Note, Place, shown};

/// Where the value of a variable comes from.
pub(super) type Lookup<'l> = &'l dyn Fn(&str) -> Option<OsString>;

/// Programs that make something of `${…}` themselves.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "busybox", "ksh", "zsh"];
/// The key whose lists are commands.
const COMMAND: &str = "command";
const OPEN: &str = "${";

/// Puts the values of variables in their places.
pub(super) fn substitute(tree: &mut DeTable<'_>, origin: Origin<'_>, lookup: Lookup<'_>) {
    Walk { origin, lookup }.table(tree, None);
}

/// What a string is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Value,
    /// A word of a command.
    Word,
    /// A word of a command that a shell reads.
    ShellWord,
}

/// A step down the tree, with those above it; put into words only for a finding.
#[derive(Debug, Clone, Copy)]
struct Step<'s> {
    above: Option<&'s Step<'s>>,
    key: &'s str,
    index: Option<usize>,
}

impl Step<'_> {
    fn path(&self) -> String {
        let above = self.above.map(|above| above.path() + ".").unwrap_or_default();
        let index = self.index.map(|index| format!("[{index}]")).unwrap_or_default();
        format!("{above}{}{index}", shown(self.key))
    }
}

struct Walk<'w> {
    origin: Origin<'w>,
    lookup: Lookup<'w>,
}

impl Walk<'_> {
    fn table(&self, table: &mut DeTable<'_>, above: Option<&Step<'_>>) {
        for (key, node) in table.iter_mut() {
            let step = Step { above, key: key.get_ref(), index: None };
            self.value(node, &step, Use::Value);
        }
    }

    fn value(&self, node: &mut Spanned<DeValue<'_>>, step: &Step<'_>, used_as: Use) {
        let place = Place::new(self.origin.source, node.span());
        match node.get_mut() {
            DeValue::Table(table) => self.table(table, Some(step)),
            DeValue::Array(items) => {
                let used_as = if step.key == COMMAND { command(items.iter()) } else { Use::Value };
                for (index, item) in items.iter_mut().enumerate() {
                    self.value(item, &Step { index: Some(index), ..*step }, used_as);
                }
            }
            DeValue::String(text) if text.contains(OPEN) => {
                if let Some(with_values) = self.text(text, place, step, used_as) {
                    *text = Cow::Owned(with_values);
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }

    /// A string with its variables replaced; none if one can't be, which is reported.
    fn text(&self, text: &str, place: Place, step: &Step<'_>, used_as: Use) -> Option<String> {
        let (mut whole, mut values, mut first, mut is_right) = (String::new(), Vec::new(), None, true);
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => whole.push_str(text),
                Piece::Stray(open) => {
                    whole.push_str(open);
                    self.warn_of_stray(text, place, step, used_as);
                }
                Piece::Variable { name, default } if used_as == Use::ShellWord => {
                    let default = default.map(|default| format!(":-{default}")).unwrap_or_default();
                    whole.push_str(&format!("{OPEN}{name}{default}}}"));
                    first = first.or_else(|| Some(name).filter(|name| (self.lookup)(name).is_some()));
                }
                Piece::Variable { name, default } => match self.variable(name, default) {
                    Ok(value) => {
                        whole.push_str(&value);
                        if let Cow::Owned(value) = value {
                            values.push((name, value));
                        }
                    }
                    Err(mistake) => {
                        self.refuse(&mistake, place, step, name, used_as);
                        is_right = false;
                    }
                },
            }
        }
        if let Some(name) = first {
            self.warn_of_shell(place, step, name);
        }
        if !is_right {
            self.origin.report.silence(place);
            return None;
        }
        if !values.is_empty() {
            self.origin.report.hide(place, text, &whole, &values);
        }
        Some(whole)
    }

    /// What a variable stands for; borrowed if it is the default, and nothing that the environment knows.
    fn variable<'d>(&self, name: &str, default: Option<&'d str>) -> Result<Cow<'d, str>, String> {
        if default.is_some_and(|default| default.contains(OPEN)) {
            return Err(format!("the default of {OPEN}{name}}} can't hold another variable"));
        }
        let set = match (self.lookup)(name).map(OsString::into_string) {
            Some(Ok(value)) => Some(value),
            Some(Err(_)) => return Err(format!("the environment variable {name} is not UTF-8")),
            None => None,
        };
        match (set, default) {
            (Some(value), None) => Ok(Cow::Owned(value)),
            (Some(value), Some(_)) if !value.is_empty() => Ok(Cow::Owned(value)),
            (Some(_) | None, Some(default)) => Ok(Cow::Borrowed(default)),
            (None, None) => Err(format!("the environment variable {name} is not set")),
        }
    }

    fn refuse(&self, mistake: &str, place: Place, step: &Step<'_>, name: &str, used_as: Use) {
        let mut help = format!("set {name} in the environment of this process, or write {OPEN}{name}:-DEFAULT}}");
        if used_as != Use::Value {
            help.push_str(&format!("; if the container is to see {OPEN}{name}}}, write $${{{name}}}"));
        }
        let note = Note::error("bad-variable", place, format!("{}: {mistake}", step.path()));
        self.origin.report.add(note.help(help));
    }

    fn warn_of_shell(&self, place: Place, step: &Step<'_>, name: &str) {
        let message = format!(
            "{}: {OPEN}{name}}} is left to the shell in the container, though this process has a {name} too",
            step.path()
        );
        let help = format!(
            "to pass it on, write environment = {{ {name} = \"{OPEN}{name}}}\" }}; if the container's own is meant, write $${{{name}}}"
        );
        self.origin.report.add(Note::warning("shell-variable", place, message).help(help));
    }

    /// In a command this is a shell's way to cut or choose; anywhere else it is most likely a slip.
    fn warn_of_stray(&self, text: &str, place: Place, step: &Step<'_>, used_as: Use) {
        if used_as == Use::Value {
            let message = format!(
                "{}: \"{}\" holds a `{OPEN}` that begins no variable, so it stays as it is",
                step.path(),
                shown(text)
            );
            let help =
                "a variable is ${NAME} or ${NAME:-default}, of letters, digits and `_`; write $${ for a literal ${";
            self.origin.report.add(Note::warning("stray-variable", place, message).help(help.to_owned()));
        }
    }
}

/// How the words of a command are used.
fn command<'i>(items: impl Iterator<Item = &'i Spanned<DeValue<'i>>> + Clone) -> Use {
    let mut words = items.filter_map(|item| item.get_ref().as_str());
    let is_shell = |word: &str| SHELLS.contains(&word.rsplit('/').next().unwrap_or(word));
    // Without a program of its own the first word is an argument of the entry point, which may be a shell.
    let is_read_by_shell = words.clone().next().is_some_and(is_shell) || words.any(|word| word == "-c");
    if is_read_by_shell { Use::ShellWord } else { Use::Word }
}

/// A part of a string.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Text(&'t str),
    /// A `${` that begins no variable.
    Stray(&'t str),
    Variable {
        name: &'t str,
        default: Option<&'t str>,
    },
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once(OPEN) {
        if let Some(before) = before.strip_suffix('$') {
            found.extend([Piece::Text(before), Piece::Text(OPEN)]);
            rest = after;
            continue;
        }
        found.push(Piece::Text(before));
        (rest, found) = match variable(after) {
            Some((variable, rest)) => (rest, with(found, variable)),
            None => (after, with(found, Piece::Stray(OPEN))),
        };
    }
    with(found, Piece::Text(rest))
}

fn with<'t>(mut pieces: Vec<Piece<'t>>, piece: Piece<'t>) -> Vec<Piece<'t>> {
    pieces.push(piece);
    pieces
}

/// The variable that is opened before this text, and what follows it.
fn variable(text: &str) -> Option<(Piece<'_>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((Piece::Variable { name, default: None }, rest));
    }
    let (default, rest) = rest.strip_prefix(":-")?.split_once('}')?;
    Some((Piece::Variable { name, default: Some(default) }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Piece<'_> {
        Piece::Variable { name, default: None }
    }

    fn parts(text: &str) -> Vec<Piece<'_>> {
        pieces(text).into_iter().filter(|piece| *piece != Piece::Text("")).collect()
    }

    #[test]
    fn names_in_braces_are_variables() {
        assert_eq!(parts("a${B}c${_d1}"), [Piece::Text("a"), name("B"), Piece::Text("c"), name("_d1")]);
        assert_eq!(parts("${A}${B}"), [name("A"), name("B")]);
        assert_eq!(parts("${A:-x y}"), [Piece::Variable { name: "A", default: Some("x y") }]);
        assert_eq!(parts("${A:-}"), [Piece::Variable { name: "A", default: Some("") }]);
    }

    #[test]
    fn two_dollar_signs_are_one_before_a_brace_and_nowhere_else() {
        assert_eq!(parts("$${A}"), [Piece::Text("${"), Piece::Text("A}")]);
        assert_eq!(parts("$$${A}"), [Piece::Text("$"), Piece::Text("${"), Piece::Text("A}")]);
        assert_eq!(parts("$$ $A $$A $(a) $"), [Piece::Text("$$ $A $$A $(a) $")]);
    }

    #[test]
    fn what_is_no_name_in_braces_stays() {
        for text in ["${", "${}", "${1}", "${A", "${A-b}", "${A:+b}", "${#A}", "${A%%.*}", "${A B}", "${Ä}", "${A:-b"]
        {
            let [Piece::Stray("${"), rest @ ..] = &parts(text)[..] else { panic!("{text}") };
            let rest: Vec<&str> =
                rest.iter().map(|piece| if let Piece::Text(text) = piece { *text } else { "?" }).collect();
            assert_eq!(format!("${{{}", rest.concat()), text);
        }
    }
}
