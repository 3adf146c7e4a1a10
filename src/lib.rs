//! Tenacron: a self-hosted scheduler daemon for Amazon ECS and Fargate tasks.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod ecs;
pub mod engine;
pub mod local;
pub mod notify;
pub mod observe;
pub mod outbound;
pub mod store;
pub mod web;
