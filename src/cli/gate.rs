//! Who may come in over HTTP: from the configuration and its files of tokens to the rules of the listener.

use crate::config::{self, Finding, HttpSettings, Level, Token};
use crate::web::gate::{Holder, May, Rules};

/// The rules of `[http]`, with doubts about the files of tokens.
///
/// # Errors
/// Every mistake of those files, one a line.
pub(super) fn rules(http: &HttpSettings) -> Result<(Rules, Vec<Finding>), String> {
    if !http.asks_for_tokens() {
        return Ok((Rules::open(http.hosts.clone()), Vec::new()));
    }
    let (tokens, findings) = config::read_tokens(http);
    let (mistakes, doubts): (Vec<_>, Vec<_>) = findings.into_iter().partition(|finding| finding.level == Level::Error);
    if !mistakes.is_empty() {
        let told = mistakes.iter().map(|one| format!("{}: {}", one.file.display(), one.message));
        return Err(format!("the tokens of [http] are not usable\n{}", told.collect::<Vec<_>>().join("\n")));
    }
    let of = |may, tokens: &'_ [Token]| -> Vec<(Holder, Token)> {
        tokens.iter().map(|token| (Holder { name: token.name.clone(), may }, token.clone())).collect()
    };
    let all = [of(May::Act, &tokens.full), of(May::Read, &tokens.read)].concat();
    let known = all.iter().map(|(holder, token)| (holder.clone(), token.secret()));
    let rules = Rules::with_tokens(http.hosts.clone(), known);
    Ok((rules, doubts))
}
