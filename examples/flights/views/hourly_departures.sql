-- Departures of each airport by the hour.
SELECT origin AS airport, date_trunc('hour', departed_at) AS hour, count(*) AS departures
FROM flights
GROUP BY origin, date_trunc('hour', departed_at)
