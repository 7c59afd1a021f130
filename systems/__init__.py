"""Every system that the paper compares: trained alike, tested alike, and set beside the published figures."""
