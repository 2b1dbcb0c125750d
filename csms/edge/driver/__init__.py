"""The driver's web app: static files only; ``csms.edge.http.driver`` serves them and answers their requests."""
