"""What several tests share: a second broker, cores that are opened, stores that are served."""
