"""`vigie count`: films in, tables out."""
