"""The CPU default: depth fusion, free-space carving and a view-blended texture."""
