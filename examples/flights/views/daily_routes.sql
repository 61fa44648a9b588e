-- How many different places one could fly to from an airport on a day: exact.
SELECT origin AS airport, date_trunc('day', departed_at) AS day,
       count(DISTINCT destination) AS destinations,
       count(*) AS flights
FROM flights
GROUP BY origin, date_trunc('day', departed_at)
