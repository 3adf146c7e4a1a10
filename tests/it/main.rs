//! One integration binary, because every further one would link the AWS SDK again.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in its helpers"
)]

mod aws;
mod backup;
mod bad_input;
mod boto3;
mod browser;
mod classification;
mod commands;
mod container;
mod crash;
mod dialects;
mod doctor;
mod documented;
mod explain;
mod failing_disk;
mod hands;
mod hands_crash;
mod harness;
mod http;
mod iam;
mod licences;
mod lost_state;
mod main_job;
mod metrics;
mod notices;
mod online;
mod openapi;
mod page;
mod page_job;
mod page_run;
mod page_timeline;
mod push;
mod python;
mod reload;
mod restart;
mod retry_vectors;
mod schema;
mod service;
mod session;
mod several;
mod slots;
mod state_faults;
mod store;
mod store_faults;
mod store_hands;
mod store_lives;
mod store_notices;
mod store_page;
mod store_prune;
mod store_schemas;
mod sts;
mod surface;
mod systemd;
mod tap;
mod targets;
mod tidy;
mod told;
mod wire;
