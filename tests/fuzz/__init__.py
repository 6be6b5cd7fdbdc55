"""Coverage-guided fuzzing of what c100k-server reads from clients and operators; see docs/fuzzing.md."""
