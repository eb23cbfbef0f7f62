-- Purpose:       a sample may have more metrics than an index entry has room for.
-- Locks:         ACCESS EXCLUSIVE on shapes, for an instant.
-- Expected time: under a second.
--
-- The default settings allow 10,000 metrics in a sample, an index entry has room for some 670 numbers. The row that says which they are
-- was refused then, and the sample, although stored, had no names for its values. Nobody looks shapes up by their metrics: the server
-- has them all in memory and gives each its number once.
ALTER TABLE shapes DROP CONSTRAINT shapes_metrics_key;
