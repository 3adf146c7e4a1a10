-- Which runs still need a definition; and what its foreign key looks up when one is deleted.
CREATE INDEX run_of_definition ON run (definition);
