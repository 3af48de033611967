"""From the spec's files to encoded arrays that workers share: reading, checking, splitting, encoding, batching."""
