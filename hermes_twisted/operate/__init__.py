"""What an operator sees and does: metrics, status, the control socket, logs and the audit log."""
