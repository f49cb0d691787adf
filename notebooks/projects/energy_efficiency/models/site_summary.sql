-- One row per array: its energy, its best day, and its mean performance ratio.
SELECT
    e.site,
    COUNT(*) AS days,
    SUM(e.energy_kwh) AS total_kwh,
    MAX(e.energy_kwh) AS best_day_kwh,
    AVG(r.performance_ratio) AS mean_performance_ratio
FROM gold.daily_energy AS e
LEFT JOIN gold.performance_ratio AS r ON r.site = e.site AND r.date = e.date
GROUP BY e.site
ORDER BY e.site
