"""Models behind Protocols: people, poses, behaviours. Never imports `curation`."""
