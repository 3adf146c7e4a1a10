//! Tenacron: a self-hosted scheduler daemon for Amazon ECS and Fargate tasks.

pub mod config;
pub mod ecs;
pub mod engine;
pub mod store;
