//! What people do on the page. Each is a form that says why; what follows is the page that shows what came of it.

use std::time::Duration;

use axum::extract::{Form, FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::Redirect;
use chrono::TimeDelta;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::shell::NoPage;
use crate::daemon::clock;
use crate::daemon::driver::{Command, Done};
use crate::engine::overrides::Overrides;
use crate::engine::pause::Scope;
use crate::engine::run::{Asker, RunId};
use crate::store::Store;
use crate::web::api::{Problem, Sources};
use crate::web::asked::Named;
use crate::web::hands::{self, BodyWithin, carry_out, job_name};
use crate::web::peer::Peer;

type Led = Result<Redirect, NoPage>;

/// Who asks, and the form that they filled in.
pub(super) struct Filled<T> {
    asker: Asker,
    form: T,
}

/// A form that may carry a reason beside its own fields.
pub(super) trait Reasoned: DeserializeOwned {
    fn reason(&mut self) -> Option<String>;
}

macro_rules! reasoned {
    ($($form:ident),*) => { $(impl Reasoned for $form {
        fn reason(&mut self) -> Option<String> {
            self.reason.take()
        }
    })* };
}

#[derive(Debug, Deserialize)]
pub(super) struct Plain {
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PauseForm {
    reason: Option<String>,
    /// For how many hours; until somebody resumes it if empty.
    #[serde(default)]
    hours: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RetryForm {
    reason: Option<String>,
    /// A box that was ticked.
    frozen: Option<String>,
}

reasoned!(Plain, PauseForm, RetryForm);

impl<S: Send + Sync, T: Reasoned> FromRequest<S> for Filled<T> {
    type Rejection = NoPage;

    async fn from_request(request: Request, state: &S) -> Result<Filled<T>, NoPage> {
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or(Peer::Unknown);
        let headers = request.headers().clone();
        let mut form: T = filled_in(request, state).await?;
        Ok(Filled { asker: peer.asks(&headers, form.reason()), form })
    }
}

/// The form of a request, which comes within the time and the size that bodies have.
pub(super) async fn filled_in<S: Send + Sync, T: DeserializeOwned>(request: Request, state: &S) -> Result<T, NoPage> {
    let BodyWithin(within): BodyWithin = request.extensions().get().copied().unwrap_or_default();
    let form = tokio::time::timeout(within, Form::<T>::from_request(request, state)).await;
    let (status, why) = match form.map(|form| form.map_err(|refused| refused.status())) {
        Ok(Ok(Form(form))) => return Ok(form),
        Ok(Err(StatusCode::PAYLOAD_TOO_LARGE)) => (StatusCode::PAYLOAD_TOO_LARGE, "the form is too large"),
        Ok(Err(_)) => (StatusCode::BAD_REQUEST, "the form is not filled in as the page has it"),
        Err(_elapsed) => (StatusCode::REQUEST_TIMEOUT, "the form did not come in time"),
    };
    Err(Problem(status, why.into()).into())
}

pub(super) async fn trigger<S: Store>(
    State(sources): State<Sources<S>>,
    Named(job): Named,
    Filled { asker, .. }: Filled<Plain>,
) -> Led {
    let command = Command::Trigger { job: job_name(&job)?, asker, overrides: Overrides::default(), overlap: None };
    to_its_run(carry_out(&sources, command).await?)
}

pub(super) async fn retry<S: Store>(
    State(sources): State<Sources<S>>,
    Named(run): Named,
    Filled { asker, form }: Filled<RetryForm>,
) -> Led {
    let command = hands::to_retry(&sources, RunId::from_text(&run), form.frozen.is_some(), asker, None).await?;
    to_its_run(carry_out(&sources, command).await?)
}

fn to_its_run(done: Done) -> Led {
    match done {
        Done::Recorded(receipts) if !receipts.is_empty() => Ok(receipts
            .first()
            .map_or_else(|| Redirect::to("/runs"), |receipt| Redirect::to(&format!("/runs/{}", receipt.run)))),
        _ => Ok(Redirect::to("/runs")),
    }
}

pub(super) async fn cancel<S: Store>(
    State(sources): State<Sources<S>>,
    Named(run): Named,
    Filled { asker, .. }: Filled<Plain>,
) -> Led {
    let run = RunId::from_text(&run);
    hands::ask_to_cancel(&sources, &run, asker).await?;
    Ok(Redirect::to(&format!("/runs/{run}")))
}

pub(super) async fn pause<S: Store>(
    State(sources): State<Sources<S>>,
    Named(job): Named,
    filled: Filled<PauseForm>,
) -> Led {
    let job = job_name(&job)?;
    let back = Redirect::to(&format!("/jobs/{job}"));
    set_pause(&sources, Scope::Job(job), filled).await.map(|()| back)
}

pub(super) async fn pause_all<S: Store>(State(sources): State<Sources<S>>, filled: Filled<PauseForm>) -> Led {
    set_pause(&sources, Scope::All, filled).await.map(|()| Redirect::to("/"))
}

/// The longest pause that the form takes, in hours.
const HOURS_MAX: u32 = 24 * 366;

async fn set_pause<S: Store>(
    sources: &Sources<S>,
    scope: Scope,
    Filled { asker, form }: Filled<PauseForm>,
) -> Result<(), NoPage> {
    let until = match form.hours.as_str() {
        "" => None,
        hours => {
            let hours = hours.parse::<u32>().ok().filter(|hours| (1..=HOURS_MAX).contains(hours));
            let hours = hours.ok_or_else(|| NoPage::bad_request("the hours of a pause are a whole number"))?;
            let lasts = Duration::from_secs(u64::from(hours) * 3_600);
            Some(clock::now() + TimeDelta::from_std(lasts).unwrap_or_default())
        }
    };
    carry_out(sources, Command::Pause { scope, asker, until }).await?;
    Ok(())
}

pub(super) async fn resume<S: Store>(
    State(sources): State<Sources<S>>,
    Named(job): Named,
    Filled { asker, .. }: Filled<Plain>,
) -> Led {
    let job = job_name(&job)?;
    let back = Redirect::to(&format!("/jobs/{job}"));
    carry_out(&sources, Command::Resume { scope: Scope::Job(job), asker }).await?;
    Ok(back)
}

pub(super) async fn resume_all<S: Store>(
    State(sources): State<Sources<S>>,
    Filled { asker, .. }: Filled<Plain>,
) -> Led {
    carry_out(&sources, Command::Resume { scope: Scope::All, asker }).await?;
    Ok(Redirect::to("/"))
}
