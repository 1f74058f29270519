"""Label Studio: the server, tasks out to annotators, their work back."""
