"""What only OCPP 2.1 has."""
