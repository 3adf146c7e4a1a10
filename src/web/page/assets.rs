//! The style sheet, the script and the icon, part of the program. Their addresses hold a hash of what they say, so that a browser
//! keeps them for good and a new version has new ones.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use super::shell;

/// What every page needs, and the overview: it is opened first, on a phone at night, and loads no more.
const STYLE: &str = concat!(include_str!("style/base.css"), include_str!("style/overview.css"));
/// What the other pages need beside it.
const MORE_STYLE: &str =
    concat!(include_str!("style/timeline.css"), include_str!("style/run.css"), include_str!("style/job.css"));
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");
const FOLDER: &str = "/assets/";

/// Something that pages load.
pub(super) struct Asset {
    /// Its address.
    pub(super) path: String,
    kind: &'static str,
    /// What it says.
    pub(super) text: String,
}

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, text: &str) -> Asset {
        let text = sent(text);
        let hash: String = Sha256::digest(&text).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Asset { path: format!("{FOLDER}{name}-{hash}.{ending}"), kind, text }
    }
}

/// A text without what only its authors read: indentation, and comments that have a line of their own.
fn sent(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// All of them.
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) more_style: Asset,
    pub(super) script: Asset,
    pub(super) icon: Asset,
}

pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("page", "css", "text/css; charset=utf-8", STYLE),
    more_style: Asset::new("more", "css", "text/css; charset=utf-8", MORE_STYLE),
    script: Asset::new("page", "js", "text/javascript; charset=utf-8", SCRIPT),
    icon: Asset::new("icon", "svg", "image/svg+xml", ICON),
});

/// Whether nothing stands at this path but what is the same for everybody.
pub(in super::super) fn is_asset(path: &str) -> bool {
    path.starts_with(FOLDER)
}

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let Assets { style, more_style, script, icon } = &*ASSETS;
    let found = [style, more_style, script, icon]
        .into_iter()
        .find(|asset| asset.path.strip_prefix(FOLDER) == Some(name.as_str()));
    let Some(asset) = found else { return shell::not_found("there is no such file").into_response() };
    let for_good = HeaderValue::from_static("public, max-age=31536000, immutable");
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)), (header::CACHE_CONTROL, for_good)];
    (headers, asset.text.as_str()).into_response()
}
