"""To whom an event goes (pure)."""
