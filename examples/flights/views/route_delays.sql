-- Delays per route, in minutes.
SELECT origin, destination,
       count(*) AS flights,
       sum(delay) AS delay_total,
       avg(delay) AS delay_average,
       max(delay) AS delay_max,
       count(*) FILTER (WHERE delay > 15) AS late
FROM flights
GROUP BY origin, destination
