-- The ledger has the database named after its user; MLflow keeps its own.
CREATE DATABASE mlflow OWNER nefstudy;
