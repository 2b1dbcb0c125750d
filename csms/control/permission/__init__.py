"""The room of people: whose vehicle it is, the question at plug-in, the answer, and the start that follows."""
