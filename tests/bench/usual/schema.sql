CREATE TABLE usual (
    event_id text PRIMARY KEY, occurred_at timestamptz NOT NULL, received_at timestamptz NOT NULL,
    source text NOT NULL, funnel_stage text NOT NULL, event_type text NOT NULL,
    user_id text NOT NULL, country text, campaign_id text, revenue numeric, data jsonb NOT NULL
);
CREATE INDEX ON usual (source, event_type);
CREATE INDEX ON usual (funnel_stage);
CREATE INDEX ON usual (occurred_at);
CREATE INDEX ON usual (campaign_id);
CREATE INDEX ON usual (user_id);
CREATE INDEX ON usual (country);
CREATE INDEX ON usual (revenue);
CREATE INDEX ON usual USING gin (data);
