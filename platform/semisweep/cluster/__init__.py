"""Running jobs on Ray: the only room that imports Ray."""
