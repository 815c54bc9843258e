"""Memory for the frameworks that agents are built with: one module for each, loaded only when it is imported.

Each needs the extra of its name, `pip install "memorizz-postgresql[langgraph]"`, and says so where it is missing.
"""
