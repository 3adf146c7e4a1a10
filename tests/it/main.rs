//! The integration tests: one binary, because each further file in `tests/` links the AWS SDK again.

#[cfg(test)]
mod retry_vectors;
