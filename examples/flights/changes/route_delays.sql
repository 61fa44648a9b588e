-- Delays per route, in minutes; a flight that was early was not late: it counts as 0 and no longer as less than that.
SELECT origin, destination,
       count(*) AS flights,
       sum(greatest(delay, 0)) AS delay_total,
       avg(greatest(delay, 0)) AS delay_average,
       max(greatest(delay, 0)) AS delay_max,
       count(*) FILTER (WHERE delay > 15) AS late
FROM flights
GROUP BY origin, destination
