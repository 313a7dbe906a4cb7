"""What happens to a job, as it happens: Server-Sent Events out of the table of events."""
