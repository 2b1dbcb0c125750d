"""What the rooms read: live state of stations and EVSEs, id tokens, prices, DR events, and what changed."""
