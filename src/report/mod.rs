//! What is printed of a run: plain lines, JSON lines, the summary, and reports of it when it is over.
