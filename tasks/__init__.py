"""Door 3: Celery. Write-back, opening and closing, settlement: thin bodies."""
