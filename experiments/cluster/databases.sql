-- Run once, when PostgreSQL's folder is new: studies lie in one database, MLflow's runs in another.
CREATE DATABASE mlflow;
