"""Jobs on Ray: searches and exports."""
