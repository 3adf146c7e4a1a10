//! The tokens of `[http]`: read from their files by the daemon, at start and at each reload, and by `validate`.
//!
//! A file holds a token a line, as `TOKEN` or `NAME: TOKEN`; what begins with `#` is a comment. Several tokens can be
//! valid at once, so that one is replaced without a moment in which neither is. No message holds any of a token.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::http::{HttpSettings, TokenFile};
use super::report::{Finding, Level};
use super::variables::Lookup;

/// The shortest token: 16 random characters are over 90 bits.
const TOKEN_MIN: usize = 16;
const TOKEN_MAX: usize = 512;
const NAME_MAX: usize = 64;
/// The largest file of tokens.
const FILE_MAX: u64 = 64 << 10;
/// Of the permissions of a file.
const READABLE_BY_OTHERS: u32 = 0o004;
/// Where systemd puts the credentials of a service.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// The code of a file that can't be read: perhaps only the daemon may.
pub const UNREADABLE_TOKENS: &str = "unreadable-tokens";

/// A token. It has no text but for whoever asks for it by name.
#[derive(Clone)]
pub struct Token {
    /// Whose it is, if its line says so.
    pub name: Option<String>,
    secret: String,
}

impl Token {
    /// The token itself.
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The tokens of an installation.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// Those that may do everything.
    pub full: Vec<Token>,
    /// Those that may read.
    pub read: Vec<Token>,
}

/// Reads the files that `[http]` names, with every mistake of them. Where there is an error, the tokens are not all there.
pub fn read_tokens(http: &HttpSettings) -> (Tokens, Vec<Finding>) {
    read_with(http, &|name| std::env::var_os(name))
}

pub(super) fn read_with(http: &HttpSettings, lookup: Lookup<'_>) -> (Tokens, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut all = |file: &Option<TokenFile>| match file {
        Some(file) => tokens_of(file, lookup, &mut findings),
        None => Vec::new(),
    };
    let tokens = Tokens { full: all(&http.token_file), read: all(&http.read_token_file) };
    let full: BTreeSet<&str> = tokens.full.iter().map(Token::secret).collect();
    if let (Some(file), true) = (&http.read_token_file, tokens.read.iter().any(|token| full.contains(token.secret()))) {
        let message = "a token of this file stands in token_file too, so it may do everything";
        findings.push(finding(Level::Error, "bad-token", &place_of(file, lookup), None, message));
    }
    (tokens, findings)
}

/// The first token of a file, for a client.
///
/// # Errors
/// What is wrong with the file, for a person.
pub fn client_token(path: &Path) -> Result<Token, String> {
    let mut findings = Vec::new();
    let tokens = tokens_of(&TokenFile::Path(path.to_owned()), &|_| None, &mut findings);
    if let Some(error) = findings.into_iter().find(|finding| finding.level == Level::Error) {
        return Err(format!("{}: {}", path.display(), error.message));
    }
    tokens.into_iter().next().ok_or_else(|| format!("{}: holds no token", path.display()))
}

fn tokens_of(file: &TokenFile, lookup: Lookup<'_>, findings: &mut Vec<Finding>) -> Vec<Token> {
    let (path, text, mode) = match open(file, lookup) {
        Ok(opened) => opened,
        Err(error) => {
            findings.push(*error);
            return Vec::new();
        }
    };
    if mode & READABLE_BY_OTHERS != 0 {
        let message = "every user of this machine may read these tokens: chmod o-r";
        findings.push(finding(Level::Warning, "exposed-tokens", &path, None, message));
    }
    let (mut tokens, mut is_right) = (Vec::new(), true);
    for (number, line) in (1..).zip(text.lines()) {
        match token(line) {
            Ok(token) => tokens.extend(token),
            Err(message) => {
                is_right = false;
                findings.push(finding(Level::Error, "bad-token", &path, Some(number), &message));
            }
        }
    }
    if tokens.is_empty() && is_right {
        findings.push(finding(Level::Error, "bad-token", &path, None, "the file holds no token; write one a line"));
    }
    tokens
}

/// The text of a file with its path and its permissions.
fn open(file: &TokenFile, lookup: Lookup<'_>) -> Result<(PathBuf, String, u32), Box<Finding>> {
    let path = place_of(file, lookup);
    let refused = |code, message: &str| Box::new(finding(Level::Error, code, &path, None, message));
    if let (TokenFile::Credential(_), true) = (file, path.is_relative()) {
        let message =
            format!("{CREDENTIALS_DIRECTORY} is not set: only a service that systemd gave the credential has it");
        return Err(refused(UNREADABLE_TOKENS, &message));
    }
    let unreadable = |error: io::Error| refused(UNREADABLE_TOKENS, &format!("the tokens can't be read: {error}"));
    let about = fs::metadata(&path).map_err(unreadable)?;
    if !about.is_file() {
        return Err(refused(UNREADABLE_TOKENS, "the tokens can't be read: this is not a regular file"));
    }
    let mut text = String::new();
    let opened = fs::File::open(&path).map_err(unreadable)?;
    opened.take(FILE_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_MAX {
        return Err(refused("bad-token", &format!("the file is larger than {} KiB", FILE_MAX >> 10)));
    }
    Ok((path, text, about.permissions().mode()))
}

/// Where a file is. A credential without a folder keeps its name as it was written.
fn place_of(file: &TokenFile, lookup: Lookup<'_>) -> PathBuf {
    match file {
        TokenFile::Path(path) => path.clone(),
        TokenFile::Credential(name) => match lookup(CREDENTIALS_DIRECTORY) {
            Some(folder) => Path::new(&folder).join(name),
            None => PathBuf::from(format!("credential:{name}")),
        },
    }
}

/// The token of a line; none in a comment or an empty line. Nothing of the line is quoted: a token may stand anywhere in it.
fn token(line: &str) -> Result<Option<Token>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, secret) = match words.as_slice() {
        [secret] => (None, *secret),
        // Without the colon, two tokens on a line would be a name and a token, and names are shown.
        [name, secret] if name.ends_with(':') => (name.strip_suffix(':'), *secret),
        _ => return Err("expected TOKEN, or NAME: TOKEN".to_owned()),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@');
    if name.is_some_and(|name| name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_plain)) {
        return Err(format!("a name has up to {NAME_MAX} letters, digits and - _ . @"));
    }
    let length = secret.len();
    if length < TOKEN_MIN {
        return Err(format!(
            "the token has {length} characters; at least {TOKEN_MIN} are needed: openssl rand -hex 32"
        ));
    }
    if length > TOKEN_MAX || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("a token has up to {TOKEN_MAX} characters of ASCII"));
    }
    Ok(Some(Token { name: name.map(str::to_owned), secret: secret.to_owned() }))
}

fn finding(level: Level, code: &'static str, path: &Path, line: Option<usize>, message: &str) -> Finding {
    Finding {
        level,
        code,
        message: line.map_or_else(|| message.to_owned(), |line| format!("line {line}: {message}")),
        file: path.to_owned(),
        line,
        column: None,
        span: None,
        help: None,
        place: None,
        also: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "3b1f0c9a7d5e4f62";

    /// The tokens of a full file and a file of readers, with these permissions.
    fn read(full: &str, read: Option<&str>, mode: u32) -> (Tokens, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            TokenFile::Path(path)
        };
        let http = HttpSettings {
            token_file: Some(write("full", full)),
            read_token_file: read.map(|text| write("read", text)),
            ..HttpSettings::default()
        };
        let (tokens, findings) = read_with(&http, &|_| None);
        (tokens, findings.iter().map(|one| format!("{} {}", one.code, one.message)).collect())
    }

    #[test]
    fn a_file_holds_several_tokens_with_and_without_names() {
        let (tokens, findings) = read(&format!("# old\n{LONG}-1\n\n  deploy@ci:\t{LONG}-2  \r\n"), None, 0o600);
        assert_eq!(findings, [""; 0]);
        let shown: Vec<_> = tokens.full.iter().map(|token| (token.name.as_deref(), token.secret())).collect();
        assert_eq!(shown, [(None, &*format!("{LONG}-1")), (Some("deploy@ci"), &*format!("{LONG}-2"))]);
        assert!(!format!("{tokens:?}").contains(LONG), "{tokens:?}");
    }

    #[test]
    fn every_mistake_of_a_file_is_told_with_its_line_and_without_the_token() {
        let file = format!("short\n{LONG} {LONG}\na b c\nn\u{e4}me: {LONG}\n: {LONG}\nsecr\u{e4}t{LONG}\n");
        let (_, findings) = read(&file, None, 0o600);
        let lines: Vec<&str> = findings.iter().filter_map(|finding| finding.split(':').next()).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6].map(|line| format!("bad-token line {line}")));
        assert!(findings[0].contains("has 5 characters; at least 16"), "{findings:?}");
        assert!(findings.iter().all(|finding| !finding.contains(LONG) && !finding.contains("short")), "{findings:?}");
        let (_, findings) = read("# none\n", None, 0o600);
        assert_eq!(findings, ["bad-token the file holds no token; write one a line"]);
        let (_, findings) = read(&"x".repeat(1 + (64 << 10)), None, 0o600);
        assert_eq!(findings, ["bad-token the file is larger than 64 KiB"]);
    }

    #[test]
    fn a_file_that_everybody_may_read_is_doubted_and_one_token_has_one_right() {
        let (tokens, findings) = read(LONG, None, 0o644);
        assert_eq!((tokens.full.len(), findings.len()), (1, 1));
        assert!(findings[0].starts_with("exposed-tokens "), "{findings:?}");
        let (_, findings) = read(LONG, Some(&format!("{LONG}2\nx: {LONG}\n")), 0o640);
        assert_eq!(findings, ["bad-token a token of this file stands in token_file too, so it may do everything"]);
    }

    #[test]
    fn a_credential_is_looked_for_where_systemd_puts_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("http"), LONG).unwrap();
        fs::set_permissions(folder.path().join("http"), fs::Permissions::from_mode(0o400)).unwrap();
        let http = HttpSettings { token_file: Some(TokenFile::Credential("http".into())), ..HttpSettings::default() };
        let place = folder.path().as_os_str().to_owned();
        let (tokens, findings) = read_with(&http, &|name| (name == "CREDENTIALS_DIRECTORY").then(|| place.clone()));
        assert_eq!((tokens.full.len(), findings.len()), (1, 0));
        let (_, findings) = read_with(&http, &|_| None);
        assert_eq!((findings[0].code, findings[0].file.to_str()), ("unreadable-tokens", Some("credential:http")));
        assert!(findings[0].message.starts_with("CREDENTIALS_DIRECTORY is not set"), "{}", findings[0].message);
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none")] {
            let refused = client_token(&path).unwrap_err();
            assert!(refused.contains("the tokens can't be read"), "{refused}");
        }
    }
}
