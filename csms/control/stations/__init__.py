"""The room of the stations themselves: who may connect, and what each is brought to after its boot."""
