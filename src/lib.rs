//! Tenacron: a self-hosted scheduler daemon for Amazon ECS and Fargate tasks.
pub mod engine;
