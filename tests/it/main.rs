//! One integration binary, because every further one would link the AWS SDK again.

mod bad_input;
mod boto3;
mod commands;
mod harness;
mod licences;
mod main_job;
mod restart;
mod tidy;
