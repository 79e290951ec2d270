"""From result records to markdown pages and figures. Reads records only, never MLflow."""
